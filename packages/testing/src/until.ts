import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until the condition holds, and asks every 50 ms. Rejects after 15 s, saying what did not come about. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within 15 s: ${what}`)
    await sleep(50)
  }
}
