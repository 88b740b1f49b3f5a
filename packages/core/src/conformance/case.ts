import type { Fixture } from './fixture.ts'

/** A rule of the contract, by its number. */
export type Rule = `R${number}`

/** One thing that a rule demands. */
export interface CaseDefinition {
  readonly rule: Rule
  readonly title: string
  /** Run in the backend's own namespace only, and not also in one made from it. */
  readonly rootOnly?: boolean
  run(fixture: Fixture): Promise<void>
}
