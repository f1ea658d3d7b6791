#!/usr/bin/env node
import { runWithNode26 } from './run-node26.js';

await runWithNode26(new URL('../src/cli/main.ts', import.meta.url), process.argv.slice(2));
