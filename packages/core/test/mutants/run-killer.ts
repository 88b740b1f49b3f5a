// Prints what kills the mutant of this name: `node run-killer.ts <name>`.
import { killer, networkKiller } from './killer.ts'
import { mutants } from './mutants.ts'
import { networkMutants } from './network-mutants.ts'

const name = process.argv[2]
const mutant = mutants.find(mutant => mutant.name === name)
const networkMutant = networkMutants.find(mutant => mutant.name === name)
if (mutant) console.log(JSON.stringify(await killer(mutant)))
else if (networkMutant) console.log(JSON.stringify(await networkKiller(networkMutant)))
else throw new Error(`There is no mutant "${name}".`)
