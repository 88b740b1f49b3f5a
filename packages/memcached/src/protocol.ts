// The text protocol: https://github.com/memcached/memcached/blob/master/doc/protocol.txt
//
// The driver's own reader and writer of it are left aside. They pass everything through UTF-8 strings and look for line
// ends inside values, so that random bytes grow by half and a foreign value can end a reply early or never; they parse
// values that carry the flag for JSON inside the socket's event; they cannot ask for several keys with their cas.

/** A value as the server has it. */
export interface Item {
  /** A view of the block in which it arrived. */
  readonly value: Buffer
  /** Changes with every write of the key. */
  readonly cas: string
}

/** The answer to one command. */
export interface Reply {
  /** Its last line: `STORED`, `END`, `SERVER_ERROR out of memory storing object`. */
  readonly line: string
  /** What `gets` found, by key. */
  readonly items: ReadonlyMap<string, Item>
  /** What `stats` answered, by name. */
  readonly stats: ReadonlyMap<string, string>
}

/** A command as it goes over the wire. Strings are ASCII. */
export type Command = string | Buffer

/** Reads keys with their cas. They are looked up in this order. */
export function gets(keys: readonly string[]): Command {
  return `gets ${keys.join(' ')}\r\n`
}

export function remove(key: string): Command {
  return `delete ${key}\r\n`
}

/** @param exptime As the protocol has it; negative: expired at once. */
export function store(verb: 'set' | 'add', key: string, exptime: number, record: Buffer): Command {
  return withRecord(`${verb} ${key} 0 ${exptime} ${record.length}\r\n`, record)
}

/** Stores the record if the key was not written since it had this cas. */
export function compareAndStore(key: string, exptime: number, record: Buffer, cas: string): Command {
  return withRecord(`cas ${key} 0 ${exptime} ${record.length} ${cas}\r\n`, record)
}

function withRecord(line: string, record: Buffer): Buffer {
  const command = Buffer.allocUnsafe(line.length + record.length + 2)
  command.write(line, 'latin1')
  record.copy(command, line.length)
  command.write('\r\n', command.length - 2, 'latin1')
  return command
}

const NONE: ReadonlyMap<string, never> = new Map<string, never>()
const LAST_LINE = /^(?:STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|END|ERROR.*|CLIENT_ERROR .*|SERVER_ERROR .*)$/
/** No line of an answer to our commands comes near this. */
const MAX_LINE_BYTES = 2048

/** Puts the answers of a server together out of the pieces in which they arrive. */
export class ReplyParser {
  readonly #onReply: (reply: Reply) => void
  #pieces: Buffer[] = []
  #size = 0
  /** How many bytes there must be before it is worth looking again. */
  #needed = 1
  #items: Map<string, Item> | undefined
  #stats: Map<string, string> | undefined

  constructor(onReply: (reply: Reply) => void) {
    this.#onReply = onReply
  }

  /** @throws `Error` for what no Memcached says. The connection is of no use after that. */
  push(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.#size < this.#needed) return
    const bytes = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces, this.#size)
    let offset = 0
    for (let next = this.#parse(bytes, 0); next > offset; next = this.#parse(bytes, offset)) offset = next
    this.#pieces = offset < bytes.length ? [bytes.subarray(offset)] : []
    this.#size = bytes.length - offset
  }

  /** Takes one line, and the value that belongs to it; answers where the next one begins, or `offset` if it is not all there. */
  #parse(bytes: Buffer, offset: number): number {
    const end = bytes.indexOf('\r\n', offset, 'latin1')
    if (end < 0 || end - offset > MAX_LINE_BYTES) {
      if (bytes.length - offset > MAX_LINE_BYTES) throw new Error('a line without an end')
      this.#needed = bytes.length - offset + 1
      return offset
    }
    const line = bytes.toString('latin1', offset, end)
    if (line.startsWith('VALUE ')) return this.#parseValue(bytes, offset, line, end + 2)
    this.#needed = 1
    if (line.startsWith('STAT ')) {
      const [, name = '', ...value] = line.split(' ')
      this.#stats ??= new Map()
      this.#stats.set(name, value.join(' '))
      return end + 2
    }
    if (!LAST_LINE.test(line)) throw new Error('a line of no known kind')
    const reply = { line, items: this.#items ?? NONE, stats: this.#stats ?? NONE }
    this.#items = undefined
    this.#stats = undefined
    this.#onReply(reply)
    return end + 2
  }

  #parseValue(bytes: Buffer, offset: number, line: string, start: number): number {
    const [, key = '', , length = '', cas = ''] = line.split(' ')
    if (!/^\d+$/.test(length)) throw new Error('a value without a length')
    const end = start + Number(length)
    this.#needed = 1
    if (bytes.length < end + 2) {
      this.#needed = end + 2 - offset
      return offset
    }
    if (bytes[end] !== 13 || bytes[end + 1] !== 10) throw new Error('a value without an end')
    this.#items ??= new Map()
    this.#items.set(key, { value: bytes.subarray(start, end), cas })
    return end + 2
  }
}
