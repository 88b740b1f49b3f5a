/**
 * Does the work for each of the items, some at a time: a store may be far away, and its kit is not to take for ever. After
 * a failure none is begun, and what is under way ends first: nothing goes on behind the back of a case that has failed.
 */
export async function inLanes<T>(
  items: Iterable<T>,
  work: (item: T, index: number) => Promise<unknown>,
  count = 8,
): Promise<void> {
  const waiting = [...items].entries()
  const failures: unknown[] = []
  const lane = async (): Promise<void> => {
    for (const [index, item] of waiting) {
      if (failures.length > 0) return
      await work(item, index).catch((error: unknown) => failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: count }, lane))
  if (failures.length > 0) throw failures[0]
}
