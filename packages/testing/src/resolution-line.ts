import type { Resolution, Way } from './service.ts'

const ways: Readonly<Record<Way, string>> = {
  url: 'the environment',
  docker: 'Docker',
  local: 'a program of this machine',
  fetched: 'a fetched program',
}

/** One line for people about a service: what was found, by which way, or what was not proven and why. */
export function resolutionLine({ name, service, problem }: Resolution): string {
  if (service === undefined) return `  ✗ ${name.padEnd(10)} NOT PROVEN: ${problem?.replaceAll(/\s*\n\s*/g, ' ')}`
  return `  ✓ ${name.padEnd(10)} ${service.version}, ${ways[service.way]}`
}
