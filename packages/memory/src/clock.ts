/** The unit of `soon`: large enough that the time of day in it is a small integer until 2106. */
export const UNIT = 2000
/** The largest integer that the engine keeps in an object itself. No deadline is later. */
export const ALWAYS = 0x7fffffff

/** So many readings of one millisecond in a row make a burst. */
const BURST = 16
/** Calls of a burst that go without a reading. */
const MOST_UNREAD = 1000
/** Units. What ends earlier than this is compared with the clock itself. */
const MARGIN = 5

/**
 * The time, for hits. To read the clock takes a third of a hit; so while hits come by the dozen in a millisecond, it is
 * read for one in a thousand, until the event loop turns. All this is for entries that have at least ten seconds left: one
 * of them would outlive its deadline if ten seconds went by between two of a thousand hits in the same turn.
 */
export class Clock {
  /** In milliseconds since 1970. */
  readonly read: () => number
  readonly #isNative: boolean
  #last = 0
  #readings = 0
  #unread = 0
  #soon = ALWAYS
  #ends: NodeJS.Immediate | undefined

  constructor(read: () => number) {
    this.read = read
    // One that a test has replaced jumps as it likes.
    this.#isNative = read === Date.now && /\[native code\]/.test(Function.prototype.toString.call(read))
  }

  /** In units, a moment that has not come for sure; `ALWAYS`: none is known without a reading. */
  get soon(): number {
    if (this.#soon !== ALWAYS && ++this.#unread > MOST_UNREAD) this.#soon = ALWAYS
    return this.#soon
  }

  /** Reads the clock for a hit. */
  now(): number {
    const time = this.read()
    if (time !== this.#last) {
      this.#last = time
      this.#readings = 0
    }
    if (this.#ends !== undefined) this.#leave(time)
    else if (++this.#readings > BURST && this.#isNative) {
      this.#ends = setImmediate(() => {
        this.#ends = undefined
        this.#soon = ALWAYS
        this.#readings = 0
      }).unref()
      this.#leave(time)
    }
    return time
  }

  #leave(time: number): void {
    this.#unread = 0
    this.#soon = Math.ceil(time / UNIT) + MARGIN
  }
}
