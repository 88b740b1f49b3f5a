/** What an error of a driver has, whichever copy of its classes and whichever realm it comes from. */
export interface DriverError {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
  readonly code?: unknown
}

export function isDriverError(error: unknown): error is DriverError {
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string'
}

/**
 * A copy of an error that is safe to print, with the message of your choice. Drivers hang whole commands, rows and requests
 * on their errors, and with them values and passwords; a copy has only name, message, stack and `code`.
 */
export function withoutDetails(error: DriverError, message: string = error.message): Error {
  const copy = new Error(message)
  const frames = /\n {4}at .*$/s.exec(error.stack ?? '')?.[0]
  Object.defineProperties(copy, {
    name: { value: error.name, configurable: true, writable: true },
    stack: { value: `${error.name}: ${message}${frames ?? ''}`, configurable: true, writable: true },
  })
  return error.code === undefined ? copy : Object.assign(copy, { code: error.code })
}
