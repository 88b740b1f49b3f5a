// R34: random histories, of one caller at a time against a model, and of many at once against an order.
import type { CaseDefinition } from '../case.ts'
import { fail } from '../check.ts'
import { checkOrder, recordHistory } from '../histories.ts'
import { type Command, printCommands, randomCommand, runCommands, shrink } from '../model.ts'

/** How long the random parts go on, in milliseconds, after the least that they do. */
const BUDGET = 600
const MIN_ROUNDS = 3
const MAX_ROUNDS = 60
const COMMANDS = 60

export const historyCases: readonly CaseDefinition[] = [
  {
    rule: 'R34',
    title: 'random calls answer what a simple model answers',
    async run(fixture) {
      const clients = await fixture.clients(2)
      const { iteration } = clients[0].supports
      let rounds = 0
      const attempt = async (commands: readonly Command[]): ReturnType<typeof runCommands> => {
        await clients[0].clear()
        rounds++
        return runCommands(commands, clients, fixture.clock)
      }
      const end = performance.now() + BUDGET
      while (rounds < MIN_ROUNDS || (rounds < MAX_ROUNDS && performance.now() < end)) {
        const commands = Array.from({ length: COMMANDS }, () =>
          randomCommand(fixture.random, clients.length, fixture.clock.isFrozen, iteration),
        )
        const violation = await attempt(commands)
        if (violation === undefined) continue
        const failing = commands.slice(0, violation.step + 1)
        const smallest = await shrink(failing, async shorter => (await attempt(shorter)) !== undefined, 3000)
        const { reason } = (await attempt(smallest)) ?? violation
        fail(`the last of these calls: ${reason}\n${printCommands(smallest)}`)
      }
    },
  },
  {
    rule: 'R34',
    title: 'concurrent calls of several clients have an order in which they could have run',
    async run(fixture) {
      const clients = await fixture.clients(3)
      const end = performance.now() + BUDGET
      for (let round = 0; round < MIN_ROUNDS || (round < MAX_ROUNDS && performance.now() < end); round++) {
        await clients[0].clear()
        checkOrder(await recordHistory(clients, fixture.random), clients[0].supports.evicts)
      }
    },
  },
]
