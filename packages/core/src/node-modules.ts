// Parts of Node that take longer to load than all of core. They are loaded when they are first used, which a cache in
// memory never does.

let crypto: typeof import('node:crypto') | undefined
let zlib: typeof import('node:zlib') | undefined

/** `node:crypto`. */
export function nodeCrypto(): typeof import('node:crypto') {
  crypto ??= process.getBuiltinModule('node:crypto')
  return crypto
}

/** `node:zlib`. */
export function nodeZlib(): typeof import('node:zlib') {
  zlib ??= process.getBuiltinModule('node:zlib')
  return zlib
}
