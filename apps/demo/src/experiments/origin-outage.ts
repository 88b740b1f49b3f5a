import { setTimeout as sleep } from 'node:timers/promises'
import type { Origin, Place } from '../origin.ts'
import type { PlacesService } from '../places-service.ts'

/** How many places were loaded before the outage, and how many never were. */
const knownCount = 20
const unknownCount = 5

/** Fresh for a moment only, so that there is something stale to see soon; then kept in case the origin fails. */
const options = { ttl: '500ms', staleIfError: '1h' } as const

/** How often a place is asked for, in milliseconds. */
const interval = 25

/** How long after its start the origin may take to be seen answering, in milliseconds. */
const patience = 10_000

/** Answers of one kind of places, since the origin was stopped or started. */
export interface OriginOutageFigures {
  readonly places: number
  readonly fresh: number
  readonly stale: number
  readonly loaded: number
  readonly errors: number
}

interface Phase {
  /** Of places that were loaded before the origin was stopped. */
  readonly known: OriginOutageFigures
  /** Of places that never were. */
  readonly unknown: OriginOutageFigures
}

/** The origin is stopped and started again while the service is asked on and on. */
export class OriginOutage {
  figures: { readonly stopped: Phase; readonly started?: Phase } | undefined
  readonly #origin: Origin
  readonly #service: PlacesService
  #known: Place[] = []
  #unknown: Place[] = []
  #timer: NodeJS.Timeout | undefined
  readonly #underWay = new Set<Promise<void>>()

  constructor(origin: Origin, service: PlacesService) {
    this.#origin = origin
    this.#service = service
  }

  get running(): boolean {
    return this.#origin.running
  }

  async stop(): Promise<void> {
    if (!this.running) return
    this.end()
    const places = this.#service.unknownPlaces(knownCount + unknownCount)
    this.#known = places.slice(0, knownCount)
    this.#unknown = places.slice(knownCount)
    await Promise.all(this.#known.map(({ id }) => this.#service.nearest(id, options)))
    this.#origin.running = false
    const stopped = newPhase()
    this.figures = { stopped }
    this.#askOn()
  }

  /** Resolves when every place has been loaded. */
  async start(): Promise<void> {
    if (this.running) return
    // Whoever asked while the origin was stopped has its answer from then.
    this.end()
    await Promise.all(this.#underWay)
    const started = newPhase()
    this.#origin.running = true
    this.figures = { ...(this.figures as { stopped: Phase }), started }
    const places = [...this.#known, ...this.#unknown]
    const deadline = performance.now() + patience
    const loads = places.map(({ id }) => this.#service.loadsOf(id))
    const isLoaded = ({ id }: Place, index: number): boolean => this.#service.loadsOf(id) > (loads[index] ?? 0)
    this.#askOn()
    while (!places.every(isLoaded) && performance.now() < deadline) await sleep(interval)
    this.end()
  }

  /** Asks no more. */
  end(): void {
    clearInterval(this.#timer)
  }

  /** Every tenth request is for a place that was never loaded. */
  #askOn(): void {
    let requests = 0
    this.#timer = setInterval(() => {
      requests++
      const others = Math.floor(requests / 10)
      if (requests % 10 === 0) this.#ask('unknown', this.#unknown[others % unknownCount] as Place)
      else this.#ask('known', this.#known[(requests - others) % knownCount] as Place)
    }, interval)
  }

  #ask(kind: keyof Phase, place: Place): void {
    const asking = this.#count(kind, place).finally(() => this.#underWay.delete(asking))
    this.#underWay.add(asking)
  }

  async #count(kind: keyof Phase, { id }: Place): Promise<void> {
    const phase = this.figures?.started ?? this.figures?.stopped
    if (!phase) return
    const answer = await this.#service.nearest(id, options).catch(() => undefined)
    const names = { hit: 'fresh', stale: 'stale', miss: 'loaded' } as const
    const name = answer ? names[answer.outcome] : 'errors'
    ;(phase[kind] as Record<typeof name, number>)[name]++
  }
}

function newPhase(): Phase {
  const none = { fresh: 0, stale: 0, loaded: 0, errors: 0 }
  return { known: { places: knownCount, ...none }, unknown: { places: unknownCount, ...none } }
}
