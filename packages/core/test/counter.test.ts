import { addToCounter, toCounter } from '../src/counter.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test.each(['0', '-1', '7', '1234567890123456', '9007199254740991', '-9007199254740991'])(
  '%s is a counter, and a safe integer',
  text => {
    expect(toCounter(bytes(text))).toBe(Number(text))
    expect(addToCounter(bytes(text), 0)).toEqual({ sum: Number(text), bytes: Buffer.from(text) })
  },
)

test.each(['', '-0', '+1', '01', ' 1', '1 ', '1.0', '1e3', '0x1', 'x', '٣', '9007199254740992', '-9007199254740992'])(
  '"%s" is no safe integer, and stays the bytes that it is',
  text => expect(toCounter(bytes(text))).toBeUndefined(),
)

test('a counter is read out of the middle of a buffer, too', () => {
  expect(toCounter(Buffer.from('x42y').subarray(1, 3))).toBe(42)
})
