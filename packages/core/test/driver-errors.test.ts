import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import { isDriverError, withoutDetails } from '../src/driver-errors.ts'

describe('a copy of a driver’s error', () => {
  class VendorError extends TypeError {
    override readonly name = 'VendorError'
    readonly code = 'E42'
    readonly command = { name: 'set', args: ['key', 'the-secret-value'] }
  }

  test('keeps name, message, code and where it happened', () => {
    const error = new VendorError('refused')
    const copy = withoutDetails(error)
    expect(copy).toMatchObject({ name: 'VendorError', message: 'refused', code: 'E42' })
    expect(copy.stack).toBe(error.stack?.replace(/^.*?(?=\n {4}at )/s, 'VendorError: refused'))
    expect(String(copy)).toBe('VendorError: refused')
  })

  test('prints nothing else, and not the message that it replaces', () => {
    const error = new VendorError('refused: the-secret-value')
    expect(inspect(error)).toContain('the-secret-value')
    const copy = withoutDetails(error, 'refused')
    expect(inspect(copy, { showHidden: true, depth: 10 })).not.toContain('the-secret-value')
    expect(inspect(copy)).toContain('driver-errors.test')
  })

  test('has no code where there was none', () => {
    expect(withoutDetails(new Error('x'))).not.toHaveProperty('code')
  })
})

test('errors of other realms are errors of drivers, and what has no message is none', () => {
  expect(isDriverError(runInNewContext('new Error("x")'))).toBe(true)
  for (const other of [undefined, null, 'text', 42, {}, { message: 42 }]) expect(isDriverError(other)).toBe(false)
})
