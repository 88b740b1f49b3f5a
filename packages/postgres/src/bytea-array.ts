const BYTEA = 17
const HEADER = 20

/**
 * A `bytea[]` in PostgreSQL's binary form, which pg passes on as it is: the text that it would make of an array has two
 * digits for each byte. `undefined` becomes NULL.
 *
 * The form is that of `array_recv` in `src/backend/utils/adt/arrayfuncs.c`: number of dimensions, whether there are
 * NULLs, the type of the elements, length and lower bound of the one dimension; then each element behind its length.
 */
export function byteaArray(elements: readonly (Uint8Array | undefined)[]): Buffer {
  let size = HEADER
  for (const element of elements) size += 4 + (element?.byteLength ?? 0)
  const array = Buffer.allocUnsafe(size)
  let end = 0
  for (const field of [1, 1, BYTEA, elements.length, 1]) end = array.writeInt32BE(field, end)
  for (const element of elements) {
    end = array.writeInt32BE(element?.byteLength ?? -1, end)
    if (element === undefined) continue
    array.set(element, end)
    end += element.byteLength
  }
  return array
}
