import { setImmediate as yieldToEvents } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import type { Metrics, PlacesService } from './places-service.ts'

export interface Result extends Metrics {
  readonly name: string
  readonly seconds: number
}

/** Asks the service for the places in `ids`, one after the other, and shows how far it is on stderr. */
export async function replay(name: string, service: PlacesService, ids: readonly number[]): Promise<Result> {
  const bar = new SingleBar(
    // Without a terminal, a line every two seconds. Ctrl-C stays ours: the library would swallow the first one.
    {
      format: `${name} {bar} {value}/{total}`,
      barsize: 30,
      noTTYOutput: true,
      notTTYSchedule: 2000,
      gracefulExit: false,
    },
    Presets.shades_classic,
  )
  bar.start(ids.length, 0)
  const start = performance.now()
  for (const [index, id] of ids.entries()) {
    await service.nearest(id)
    if (index % 50 === 0) {
      bar.update(index)
      await yieldToEvents()
    }
  }
  const seconds = (performance.now() - start) / 1000
  bar.update(ids.length)
  bar.stop()
  return { name, seconds, ...service.metrics }
}

/** The results as a table; the first one is what the others are compared with. */
export function formatTable(results: readonly Result[]): string {
  const header = ['', 'requests', 'loads', 'hit ratio', 'p50', 'p99', 'time', 'speed-up']
  const rows = results.map(result => [
    result.name,
    result.requests.toLocaleString('en'),
    result.loads.toLocaleString('en'),
    `${((100 * result.hits) / result.requests).toFixed(1)} %`,
    `${result.p50.toFixed(3)} ms`,
    `${result.p99.toFixed(3)} ms`,
    `${result.seconds.toFixed(1)} s`,
    `${((results[0] as Result).seconds / result.seconds).toFixed(1)} x`,
  ])
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map(row => (row[column] as string).length)))
  return [header, ...rows]
    .map(([name = '', ...numbers]) =>
      [name.padEnd(widths[0] as number), ...numbers.map((cell, i) => cell.padStart(widths[i + 1] as number))].join(
        '   ',
      ),
    )
    .join('\n')
}
