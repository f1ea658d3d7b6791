import { parentPort } from 'node:worker_threads';
import { main } from '../../src/cli/main.ts';

/** Runs command lines one after another in this thread, whose streams are its own, and tells what each wrote. */
parentPort!.on('message', async (argv: readonly string[]) => {
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    process[stream].write = ((text: string) => ((said[stream] += text), true)) as typeof process.stdout.write;
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort!.postMessage({ code: await main(argv), ...said });
});
