import { connect } from 'node:net'

const END =
  /(?:^|\n)(?:END|OK|EN|NS|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|ME .*|ERROR.*|CLIENT_ERROR.*|SERVER_ERROR.*)\r\n$/

/** Looks into a server beside the backend: sends one command over a connection of its own and resolves with the answer. */
export function ask({ host, port }: { host: string; port: number }, command: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    let answer = ''
    socket
      .setEncoding('latin1')
      .on('data', piece => {
        answer += piece
        if (!END.test(answer)) return
        socket.destroy()
        resolve(answer)
      })
      .on('error', reject)
      .on('close', () => reject(new Error(`no answer but ${JSON.stringify(answer)}`)))
    socket.write(command)
    socket.write('\r\n')
  })
}

/** The keys of all items that the server holds. */
export async function keysIn(server: { host: string; port: number }): Promise<string[]> {
  const dump = await ask(server, 'lru_crawler metadump hash')
  return Array.from(dump.matchAll(/^key=(\S+)/gm), ([, key = '']) => decodeURIComponent(key)).sort()
}

/** The key of the one item whose key begins so. */
export async function keyIn(server: { host: string; port: number }, start: string): Promise<string> {
  const keys = (await keysIn(server)).filter(key => key.startsWith(start))
  if (keys.length !== 1) throw new Error(`${keys.length} keys begin with ${start}`)
  return keys[0] as string
}

/** How often the server was asked what, since it started. */
export async function countsOf(server: { host: string; port: number }): Promise<Record<string, number>> {
  const stats = await ask(server, 'stats')
  return Object.fromEntries(
    Array.from(stats.matchAll(/^STAT (\w+) (\d+)\r$/gm), ([, name, count]) => [name, Number(count)]),
  )
}
