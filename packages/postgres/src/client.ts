/** What CacheKit uses of a connection of a `Pool` of pg. */
export interface PostgresPoolClient {
  query(config: QueryConfig, callback: (error: Error | null, result: QueryResult) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  end(): Promise<void>
}

/** What CacheKit uses of a `Pool` of pg. */
export interface PostgresPool {
  connect(
    callback: (
      error: Error | undefined,
      client: PostgresPoolClient | undefined,
      release: (destroy?: boolean) => void,
    ) => void,
  ): void
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** A statement as pg takes it. */
export interface QueryConfig {
  readonly name?: string
  readonly text: string
  readonly values?: unknown[]
  readonly rowMode: 'array'
  readonly types: { getTypeParser(): (text: string) => string }
  /** Milliseconds. */
  readonly query_timeout: number
}

export interface QueryResult {
  readonly rows: (string | null)[][]
  readonly rowCount: number | null
}
