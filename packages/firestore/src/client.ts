// What CacheKit uses of a `Firestore`, by shape: firebase-admin brings a copy of the driver of its own, whose classes are
// others than ours.

export interface FirestoreClient {
  collection(id: string): Collection
  getAll(...documentsAndOptions: (Document | ReadOptions)[]): Promise<Snapshot[]>
  batch(): WriteBatch
}

export interface Collection extends Query {
  doc(name: string): Document
}

export interface Document {
  readonly path: string
}

export interface ReadOptions {
  readonly fieldMask?: unknown[]
}

/** Writes that are applied together, or none of them. */
export interface WriteBatch {
  create(document: Document, fields: object): unknown
  set(document: Document, fields: object): unknown
  update(document: Document, fields: object, precondition: object): unknown
  delete(document: Document, precondition?: object): unknown
  commit(): Promise<unknown>
}

export interface Query {
  where(field: string, operator: '>=' | '<', value: string): Query
  orderBy(field: string): Query
  select(...fields: string[]): Query
  startAfter(...values: unknown[]): Query
  limit(count: number): Query
  get(): Promise<{ readonly docs: Snapshot[] }>
}

export interface Snapshot {
  readonly exists: boolean
  readonly ref: Document
  readonly updateTime?: Timestamp | undefined
  get(field: string): unknown
}

export interface Timestamp {
  toMillis(): number
}
