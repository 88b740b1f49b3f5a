// Prints what kills the mutant of this name: `node run-killer.ts <name>`.
import { killer } from './killer.ts'
import { mutants } from './mutants.ts'

const mutant = mutants.find(({ name }) => name === process.argv[2])
if (mutant === undefined) throw new Error(`There is no mutant "${process.argv[2]}".`)
console.log(JSON.stringify(await killer(mutant)))
