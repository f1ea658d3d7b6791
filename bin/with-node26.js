// `node bin/with-node26.js FILE.ts [ARGUMENT …]`: what the npm scripts use.
import { pathToFileURL } from 'node:url';
import { runWithNode26 } from './run-node26.js';

const [file, ...args] = process.argv.slice(2);
await runWithNode26(pathToFileURL(file), args);
