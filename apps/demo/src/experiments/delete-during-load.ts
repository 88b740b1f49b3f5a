import { setTimeout as sleep } from 'node:timers/promises'
import type { NearbyPlace, Origin, Place } from '../origin.ts'
import type { Answer, PlacesService } from '../places-service.ts'

const readers = 10

/** How long the load takes, and when during it the key is deleted, in milliseconds. */
const loadTime = 1500
const deleteAfter = 600

export interface DeleteDuringLoadFigures {
  /** Whose answer is asked for. */
  readonly place: Place
  /** The name of the place nearest to it, and what it is changed to during the load. */
  readonly oldName: string
  readonly newName: string
  /** How many asked before the change, and wait. */
  readonly readers: number
  /** How often the place was loaded so far. */
  readonly loads: number
  /** What has happened so far. */
  deleted: boolean
  answersWithOldName: number
  answersWithNewName: number
  /** Whether anything was in the cache when the load had ended. */
  cachedAfterLoad?: boolean
  /** What came to the next reader, and to the one after that. */
  next?: NextAnswer
  afterNext?: NextAnswer
}

interface NextAnswer {
  readonly name: string
  readonly outcome: Answer['outcome']
}

/** What a load began with is old when its key is deleted before it ends: whoever waits gets it, but it is not stored. */
export class DeleteDuringLoad {
  figures: DeleteDuringLoadFigures | undefined
  readonly #origin: Origin
  readonly #service: PlacesService

  constructor(origin: Origin, service: PlacesService) {
    this.#origin = origin
    this.#service = service
  }

  async run(): Promise<void> {
    const service = this.#service
    const { place, nearest } = await this.#findNeighbours()
    const figures: DeleteDuringLoadFigures = {
      place,
      oldName: nearest.name,
      newName: `New ${nearest.name}`,
      readers,
      get loads() {
        return service.loadsOf(place.id)
      },
      deleted: false,
      answersWithOldName: 0,
      answersWithNewName: 0,
    }
    this.figures = figures

    this.#origin.delay = loadTime
    const waiting = Promise.all(Array.from({ length: readers }, () => this.#ask(place.id)))
    waiting.catch(() => {}) // it is awaited below
    try {
      await sleep(deleteAfter)
      this.#origin.rename(nearest.id, figures.newName)
      await service.delete(place.id)
      figures.deleted = true
    } finally {
      this.#origin.delay = 0
    }
    for (const { name } of await waiting) {
      if (name === figures.oldName) figures.answersWithOldName++
      else figures.answersWithNewName++
    }
    figures.cachedAfterLoad = await service.isCached(place.id)
    figures.next = await this.#ask(place.id)
    figures.afterNext = await this.#ask(place.id)
  }

  /** A place that was never asked for and its nearest neighbour; some have none. */
  async #findNeighbours(): Promise<{ place: Place; nearest: NearbyPlace }> {
    for (;;) {
      const [place] = this.#service.unknownPlaces(1) as [Place]
      const [nearest] = await this.#origin.nearest(place.id)
      if (nearest) return { place, nearest }
    }
  }

  async #ask(id: number): Promise<NextAnswer> {
    const { nearest, outcome } = (await this.#service.nearest(id)) as Answer
    return { name: nearest[0]?.name ?? '', outcome }
  }
}
