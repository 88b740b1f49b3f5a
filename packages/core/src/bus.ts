/// <reference lib="esnext.disposable" preserve="true" />

/**
 * Tells other processes what became invalid, so that they drop it from their local tier. Messages may be lost, and then
 * `onGap` should be called; they may be late; but two of one publisher keep their order. What they say is the cache's.
 */
export interface CacheBus extends AsyncDisposable {
  /** Sends a message to every subscriber, the own ones too. Rejects with a `CacheError` where it was not handed over. */
  publish(message: Uint8Array): Promise<void>
  /**
   * Resolves once messages arrive. `onGap` is called whenever some may have been lost: each time after a connection
   * that broke is back.
   */
  subscribe(onMessage: (message: Uint8Array) => void, onGap: () => void): Promise<void>
  /** Ends the subscriptions, and frees what the bus opened. Safe to call again. */
  close(): Promise<void>
}
