import { Agent, get } from 'node:http'
import type { Origin, Place } from '../origin.ts'
import type { PlacesService } from '../places-service.ts'

const requests = 1000

/** How long an answer of the origin takes meanwhile, in milliseconds: long enough for all requests to come while it does. */
const delay = 300

export interface StampedeFigures {
  readonly requests: number
  answers: number
  errors: number
  /** How often the place was loaded. */
  loads: number
  /** Milliseconds from the sending of a request to the end of its answer. */
  slowest: number
}

/** A thousand HTTP requests at once for one place that is not cached; then the same to the service without a cache. */
export class Stampede {
  figures: { readonly place: Place; readonly cached: StampedeFigures; readonly uncached: StampedeFigures } | undefined
  readonly #origin: Origin
  readonly #cached: PlacesService
  readonly #uncached: PlacesService

  constructor(origin: Origin, cached: PlacesService, uncached: PlacesService) {
    this.#origin = origin
    this.#cached = cached
    this.#uncached = uncached
  }

  /** @param url Where this app listens. */
  async run(url: string): Promise<void> {
    const [place] = this.#cached.unknownPlaces(1) as [Place]
    const none = { requests, answers: 0, errors: 0, loads: 0, slowest: 0 }
    this.figures = { place, cached: { ...none }, uncached: { ...none } }
    const { cached, uncached } = this.figures
    const path = `${url}/places/${place.id}/nearest`
    this.#origin.delay = delay
    try {
      await this.#send(path, cached, () => this.#cached.loadsOf(place.id))
      await this.#send(`${path}?cache=no`, uncached, () => this.#uncached.loadsOf(place.id))
    } finally {
      this.#origin.delay = 0
    }
  }

  async #send(url: string, figures: StampedeFigures, loads: () => number): Promise<void> {
    const agent = new Agent() // it opens a connection for each request
    const loadsBefore = loads()
    const start = performance.now()
    const send = async (): Promise<void> => {
      const status = await statusOf(url, agent).catch(() => undefined)
      if (status === 200) figures.answers++
      else figures.errors++
      figures.loads = loads() - loadsBefore
      figures.slowest = performance.now() - start
    }
    await Promise.all(Array.from({ length: requests }, send))
  }
}

function statusOf(url: string, agent: Agent): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent }, response => {
      response.resume().on('error', reject)
      response.on('end', () => resolve(response.statusCode))
    })
    request.on('error', reject)
  })
}
