#!/usr/bin/env node
import { runCommand } from '../dist/esm/conformance/cli.js'

await runCommand()
