import { firstViolation, isLinearizable, type Operation } from '../src/conformance/linearizability.ts'

const get = (start: number, end: number, answer: string | undefined): Operation => ({
  text: `get: ${answer}`,
  start,
  end,
  answer,
  apply: register => ({ answer: register, next: register }),
})
const set = (start: number, end: number, value: string): Operation => ({
  text: `set ${value}`,
  start,
  end,
  answer: undefined,
  apply: () => ({ answer: undefined, next: value }),
})
const add = (start: number, end: number, value: string, answer: boolean): Operation => ({
  text: `add ${value}: ${answer}`,
  start,
  end,
  answer,
  apply: register => ({ answer: register === undefined, next: register ?? value }),
})

describe('a history has an order', () => {
  test.each<[string, Operation[]]>([
    ['that is empty', []],
    ['of one call after the other', [set(0, 1, 'a'), get(2, 3, 'a'), set(4, 5, 'b'), get(6, 7, 'b')]],
    ['whose read overlaps a write and sees it', [set(0, 10, 'a'), get(1, 2, 'a')]],
    ['whose read overlaps a write and does not see it', [set(0, 10, 'a'), get(1, 2, undefined)]],
    [
      'of two writes at once, in the order that readers saw',
      [set(0, 10, 'a'), set(0, 10, 'b'), get(11, 12, 'a'), get(13, 14, 'a')],
    ],
    ['of two add() of which one won', [add(0, 5, 'a', false), add(0, 5, 'b', true), get(6, 7, 'b')]],
    ['with an unknown write that took effect late', [set(0, Infinity, 'a'), get(1, 2, undefined), get(8, 9, 'a')]],
    [
      'with an unknown write that never took effect',
      [set(0, Infinity, 'a'), get(1, 2, undefined), get(8, 9, undefined)],
    ],
    [
      'with an unknown write between two others',
      [set(0, 1, 'b'), set(0, Infinity, 'a'), set(4, 5, 'c'), get(6, 7, 'c'), get(8, 9, 'a')],
    ],
  ])('%s', (_, operations) => expect(isLinearizable(operations)).toBe(true))
})

describe('a history has no order', () => {
  test.each<[string, Operation[]]>([
    ['if a read misses a write that was done before', [set(0, 1, 'a'), get(2, 3, undefined)]],
    ['if a read sees what was overwritten before', [set(0, 1, 'a'), set(2, 3, 'b'), get(4, 5, 'a')]],
    ['if readers saw two orders', [set(0, 10, 'a'), set(0, 10, 'b'), get(11, 12, 'a'), get(13, 14, 'b')]],
    ['if a value goes and comes back', [set(0, 10, 'a'), get(1, 2, 'a'), get(3, 4, undefined)]],
    ['if two add() won', [add(0, 5, 'a', true), add(0, 5, 'b', true)]],
    ['if no add() won', [add(0, 5, 'a', false)]],
    [
      'if an unknown write took effect twice',
      [set(0, Infinity, 'a'), get(1, 2, 'a'), set(3, 4, 'b'), get(5, 6, 'b'), get(7, 8, 'a')],
    ],
    ['if an unknown write took effect before it began', [get(0, 1, 'a'), set(2, Infinity, 'a')]],
  ])('%s', (_, operations) => expect(isLinearizable(operations)).toBe(false))
})

test('a store that evicts may lose as many entries as it is allowed to', () => {
  const lost = [set(0, 1, 'a'), get(2, 3, undefined), set(4, 5, 'b'), get(6, 7, undefined)]
  expect(isLinearizable(lost, 1)).toBe(false)
  expect(isLinearizable(lost, 2)).toBe(true)
  expect(isLinearizable([set(0, 1, 'a'), get(2, 3, 'b')], 9)).toBe(false)
})

test('long histories of many callers are judged quickly', () => {
  const operations = Array.from({ length: 200 }, (_, index) => set(index, index + 6, `v${index}`))
  const reads = Array.from({ length: 50 }, (_, index) => get(index * 4 + 6.5, index * 4 + 7, `v${index * 4}`))
  const start = performance.now()
  expect(isLinearizable([...operations, ...reads])).toBe(true)
  expect(performance.now() - start).toBeLessThan(2000)
})

test('the first violation ends with the call that has no place', () => {
  const history = [set(0, 1, 'a'), get(2, 3, 'a'), set(4, 5, 'b'), get(6, 7, 'a'), get(8, 9, 'b')]
  const lines = firstViolation(history).split('\n')
  expect(lines.at(-1)).toBe('6.00 to 7.00 ms: get: a')
  expect(lines).toHaveLength(4)
})
