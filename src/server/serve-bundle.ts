import { readFile } from 'node:fs/promises';
import { OwnBundle } from '../control/federation/own-bundle.ts';
import { Problem } from '../core/problems/problem.ts';
import { MINUTE_MS } from '../core/time/instant.ts';
import { encodePem } from '../core/x509/pem.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { ListenerCredentials } from '../protocols/data-plane/data-plane-listener.ts';
import { type BundleCredentials, type BundleServer, startBundleServer } from '../protocols/spiffe/bundle-server.ts';
import type { State } from './open-state.ts';

/** Where our bundle is served; null: not by this profile. */
export type BundleEndpoints = AsyncDisposable & {
  readonly spiffe: BundleServer | null;
  readonly web: BundleServer | null;
  /** The control plane's own certificate is a new one. */
  setCredentials(credentials: ListenerCredentials): void;
};

/** Serves our bundle by the profiles that are configured. @throws input-invalid for a certificate or key file that cannot be used */
export async function serveBundle(deps: {
  readonly config: ServerConfig;
  readonly state: State;
  readonly credentials: ListenerCredentials;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): Promise<BundleEndpoints> {
  const { config, state, clock, log, metrics } = deps;
  const { spiffeListen, web: webConfig } = config.federation;
  await using stack = new AsyncDisposableStack();
  const shared = { bundle: new OwnBundle(state.database.queries), clock, log, metrics };
  const spiffe =
    spiffeListen === null
      ? null
      : stack.use(await startBundleServer({ ...shared, listen: spiffeListen, credentials: pemOf(deps.credentials) }));
  let web: BundleServer | null = null;
  if (webConfig !== null) {
    const credentials = await readCredentials(webConfig);
    web = stack.use(await startWeb({ ...shared, listen: webConfig.listen, credentials }));
    stack.use(followFiles(web, { read: () => readCredentials(webConfig), held: credentials, log }));
  }
  const running = stack.move();
  return {
    spiffe,
    web,
    setCredentials: (credentials) => spiffe?.setCredentials(pemOf(credentials)),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function startWeb(options: Parameters<typeof startBundleServer>[0]): Promise<BundleServer> {
  try {
    return await startBundleServer(options);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (!code.startsWith('ERR_OSSL')) throw cause;
    throw new Problem(
      'input-invalid',
      `Cannot serve bundle: federation.certificateFile and federation.keyFile do not go together (${code})`,
      { cause },
    );
  }
}

async function readCredentials(files: { readonly certificateFile: string; readonly keyFile: string }): Promise<BundleCredentials> {
  try {
    return { cert: await readFile(files.certificateFile, 'utf8'), key: await readFile(files.keyFile) };
  } catch (cause) {
    const path = cause instanceof Error && 'path' in cause ? String(cause.path) : '';
    throw new Problem('input-invalid', `Cannot serve bundle: ${path}, expected a readable file`, { cause });
  }
}

/** Takes up a renewed certificate. What cannot be used, as in the moment between two files, is tried again; the old one is served on. */
function followFiles(
  server: BundleServer,
  { read, held, log }: { readonly read: () => Promise<BundleCredentials>; readonly held: BundleCredentials; readonly log: Log },
): Disposable {
  let current = held;
  const check = async (): Promise<void> => {
    try {
      const next = await read();
      if (next.cert === current.cert && Buffer.from(next.key).equals(Buffer.from(current.key))) return;
      server.setCredentials(next);
      current = next;
      log('info', 'certificate of the bundle endpoint taken up', {});
    } catch (error) {
      log('warn', 'certificate of the bundle endpoint cannot be used', { error });
    }
  };
  const timer = setInterval(() => void check(), FILES_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function pemOf({ chain, key }: ListenerCredentials): BundleCredentials {
  return {
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
  };
}

const FILES_MS = MINUTE_MS;
