import { CacheError } from '@cachekit/core'
import { Firestore, type Settings } from '@google-cloud/firestore'
import { GoogleAuth, type GoogleAuthOptions } from 'google-auth-library'
import { HIDDEN, Status, safeCopy } from './errors.ts'

/** https://developers.google.com/identity/protocols/oauth2/scopes#firestore */
const SCOPES = ['https://www.googleapis.com/auth/cloud-platform', 'https://www.googleapis.com/auth/datastore']

/** How much longer than a call of the backend, in milliseconds, the calls of gRPC live that it made. */
const GRACE = 100

/** What is used of a call of @grpc/grpc-js, which the driver does not hand out. */
interface GrpcCall {
  start(metadata: unknown, listener: Listener): void
  cancelWithStatus(status: number, details: string): void
}
interface Listener {
  onReceiveMetadata(metadata: unknown): void
  onReceiveMessage(message: unknown): void
  onReceiveStatus(status: GrpcStatus): void
}
interface GrpcStatus {
  readonly code: number
  readonly metadata: unknown
}
interface Invocation {
  readonly callOptions: object
}

/** A status that gRPC itself may have made, so that it is no sign of life of the server. */
const MADE_HERE: ReadonlySet<number> = new Set([Status.CANCELLED, Status.DEADLINE_EXCEEDED, Status.UNAVAILABLE])

/**
 * A `Firestore` of ours. The driver keeps calls alive for minutes, sends them again, and lets nobody cancel them; so this
 * takes part in each call of gRPC: none outlives the backend's timeout, none is sent again, and `end()` ends them all.
 */
export class OwnClient {
  readonly #firestore: Firestore
  /** Where credentials come from; an emulator needs none. */
  readonly #auth: GoogleAuth | undefined
  readonly #calls = new Set<GrpcCall>()
  readonly #pending = new Set<Promise<unknown>>()
  readonly #lifetime: number
  /** When the server was last heard of, in monotonic milliseconds; at first, when it was first called. */
  #heard = Number.POSITIVE_INFINITY
  #ended = false

  /** @param timeout Milliseconds that a call of the backend has. */
  constructor(settings: Settings, timeout: number) {
    this.#lifetime = timeout + GRACE
    this.#auth = authOf(settings)
    this.#firestore = new Firestore({
      ...settings,
      ...(this.#auth && { auth: this.#auth }),
      grpcOptions: {
        // After an outage the next attempt to connect must not be far. The driver lets two minutes pass.
        'grpc.initial_reconnect_backoff_ms': 50,
        'grpc.max_reconnect_backoff_ms': 500,
        ...settings.grpcOptions,
        'grpc.enable_retries': 0,
        'grpc.callInvocationTransformer': (invocation: Invocation) => this.#intercepted(invocation),
      },
    })
  }

  /** Milliseconds since the server answered anything; negative while it has not been called yet. */
  get silence(): number {
    return performance.now() - this.#heard
  }

  /** Finds the credentials. Where there are none, the driver would end the process by an unhandled rejection. */
  async logIn(): Promise<void> {
    try {
      await this.#auth?.getClient()
    } catch (error) {
      throw new CacheError({
        code: 'CACHE_BACKEND_FAILED',
        message:
          'there are no usable credentials for Firestore: give the machine an account, or name a key file in ' +
          'GOOGLE_APPLICATION_CREDENTIALS',
        outcome: 'not-applied',
        cause: safeCopy(error as Error),
      })
    }
  }

  async run<T>(call: (firestore: Firestore) => Promise<T>): Promise<T> {
    const answer = call(this.#firestore)
    this.#pending.add(answer)
    try {
      return await answer
    } finally {
      this.#pending.delete(answer)
    }
  }

  /** Ends all calls under way, then the connections. */
  async end(): Promise<void> {
    this.#ended = true
    for (const call of this.#calls) cancel(call)
    // A call that the driver starts after `terminate()` would be an unhandled rejection.
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
    await this.#firestore.terminate()
  }

  #intercepted(invocation: Invocation): Invocation {
    const intercept = (options: object, next: (options: object) => GrpcCall): GrpcCall => {
      const call = next({ ...options, deadline: Date.now() + this.#lifetime })
      const start = call.start.bind(call)
      call.start = (metadata, listener) => start(metadata, this.#listener(call, listener))
      this.#calls.add(call)
      this.#heard = Math.min(this.#heard, performance.now())
      if (this.#ended) process.nextTick(cancel, call)
      return call
    }
    return { ...invocation, callOptions: { ...invocation.callOptions, interceptors: [intercept] } }
  }

  #listener(call: GrpcCall, listener: Listener): Listener {
    let answering = false
    return {
      onReceiveMetadata: metadata => {
        answering = true
        listener.onReceiveMetadata(metadata)
      },
      onReceiveMessage: message => {
        this.#heard = performance.now()
        listener.onReceiveMessage(message)
      },
      onReceiveStatus: status => {
        this.#calls.delete(call)
        if (!MADE_HERE.has(status.code)) this.#heard = performance.now()
        if (status.code === 0) return listener.onReceiveStatus(status)
        // A read that fails before an answer has begun is sent again, after two seconds.
        if (!answering) listener.onReceiveMetadata(status.metadata)
        listener.onReceiveStatus({ ...status, code: status.code + HIDDEN })
      },
    }
  }
}

function authOf({ auth, projectId, credentials, keyFilename, ssl }: Settings): GoogleAuth | undefined {
  if (ssl === false || process.env.FIRESTORE_EMULATOR_HOST) return undefined
  return auth ?? new GoogleAuth({ scopes: SCOPES, projectId, credentials, keyFilename } as GoogleAuthOptions)
}

function cancel(call: GrpcCall): void {
  call.cancelWithStatus(Status.CANCELLED, 'the client was closed')
}
