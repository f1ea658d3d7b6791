import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Run, waitFor } from '../run.ts';

/** Its listeners answer before it has written the token. */
const TOKEN_TIMEOUT_MS = 20_000;

/** Starts the server for the first time and exchanges its bootstrap token; the observer keeps its checkpoints from now on. */
export async function startControlPlane({ plane, cloud }: Run): Promise<void> {
  await plane.start();
  const bootstrap = join(plane.directory, 'data', 'bootstrap.token');
  await waitFor('the bootstrap token', TOKEN_TIMEOUT_MS, async () => (existsSync(bootstrap) ? true : null));
  await plane.run('token', 'exchange', '--bootstrap-file', bootstrap, '--name', 'ada', '--out', plane.tokenFile);
  const watched = await fetch(`${cloud.observerUrl}/checkpoints`, {
    method: 'POST',
    body: JSON.stringify({ url: `${plane.publicUrl}/log/checkpoint`, file: cloud.files.checkpoints }),
  });
  if (!watched.ok) throw new Error(`the observer does not watch the log: ${watched.status}`);
}
