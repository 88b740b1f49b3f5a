export { type CompressedOptions, compressed } from './compressed.ts'
export { type EncryptionKey, encrypted } from './encrypted.ts'
