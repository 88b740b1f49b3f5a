import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { formatLatencies, formatResults, type Results } from './report.ts'

const docs = fileURLToPath(new URL('../../../docs/', import.meta.url))

/** Puts the tables into the guides, each between its two comments. */
export function writeNotes(results: Results): void {
  replace('benchmarks.md', formatResults(results))
  replace('choosing-a-backend.md', formatLatencies(results))
}

function replace(note: string, tables: string): void {
  const text = readFileSync(docs + note, 'utf8')
  const between = /(<!-- written by `pnpm bench --notes` -->\n\n).*(\n\n<!-- end -->)/s
  if (!between.test(text)) throw new Error(`docs/${note} has no place for the tables.`)
  writeFileSync(
    docs + note,
    text.replace(between, (_, start, end) => start + tables + end),
  )
}
