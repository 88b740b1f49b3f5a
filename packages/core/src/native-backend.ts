import type { NewEntry } from './backend.ts'
import type { Deadline } from './backend-view.ts'
import { BaseBackend } from './base-backend.ts'
import type { Progress } from './lifecycle.ts'

/**
 * A `BaseBackend` for a store that has a command of its own for each operation that must be atomic: these six take the
 * place of `_swap`.
 */
export abstract class NativeBackend extends BaseBackend {
  protected abstract override _add(id: string, entry: NewEntry, progress: Progress): Promise<boolean>

  protected abstract override _compareAndSet(
    id: string,
    expected: Uint8Array,
    entry: NewEntry,
    progress: Progress,
  ): Promise<boolean>

  protected abstract override _compareAndDelete(id: string, expected: Uint8Array, progress: Progress): Promise<boolean>

  protected abstract override _increment(
    id: string,
    by: number,
    deadline: Deadline,
    progress: Progress,
  ): Promise<number>

  protected abstract override _touch(id: string, deadline: Deadline, progress: Progress): Promise<boolean>

  protected abstract override _delete(id: string, progress: Progress): Promise<boolean>

  protected override _swap(): Promise<never> {
    return Promise.reject(new Error('Only what a NativeBackend has to override would call _swap.'))
  }
}
