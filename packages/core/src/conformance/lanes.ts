/** Does the work for each of the items, some at a time: a store may be far away, and its kit is not to take for ever. */
export async function inLanes<T>(
  items: Iterable<T>,
  work: (item: T, index: number) => Promise<unknown>,
  count = 8,
): Promise<void> {
  const waiting = [...items].entries()
  const lane = async (): Promise<void> => {
    for (const [index, item] of waiting) await work(item, index)
  }
  await Promise.all(Array.from({ length: count }, lane))
}
