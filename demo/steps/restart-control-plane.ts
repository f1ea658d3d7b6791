import { readProxies } from '../product-api.ts';
import { pause, type Run, waitFor } from '../run.ts';

const AWAY_MS = 1_000;
const BACK_TIMEOUT_MS = 20_000;

/** Ends the control plane while calls go on, leaves it away for a while, starts it again and waits until the proxies are back. */
export async function restartControlPlane({ plane, progress }: Run): Promise<void> {
  const before = (await readProxies(plane)).filter(({ isAcknowledged }) => isAcknowledged).length;
  await plane.stop();
  await pause(AWAY_MS);
  await plane.start();
  await waitFor('the return of the proxies', BACK_TIMEOUT_MS, async () => {
    const back = (await readProxies(plane)).filter(({ isConnected }) => isConnected).length;
    progress.tick(`${back} of ${before} proxies are back`);
    return back >= before ? true : null;
  });
}
