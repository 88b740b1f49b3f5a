import type { Resolution, Way } from './service.ts'

const ways: Readonly<Record<Way, string>> = {
  url: 'the environment',
  docker: 'Docker',
  local: 'a program of this machine',
  fetched: 'a fetched program',
}

/** One line for people about a service or the browser: what was found, by which way, or what was not proven and why. */
export function resolutionLine({ name, found, problem }: Resolution): string {
  if (found === undefined) return `  ✗ ${name.padEnd(10)} NOT PROVEN: ${problem?.replaceAll(/\s*\n\s*/g, ' ')}`
  return `  ✓ ${name.padEnd(10)} ${found.version}, ${ways[found.way]}`
}
