import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Inbound } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { SETTINGS_TYPE } from '../../src/core/messages/type-urls.ts';
import { type TestControlPlane, TRUST_DOMAIN } from './test-control-plane.ts';

export type ProxyProcess = AsyncDisposable & {
  readonly pid: number;
  /** Resident memory, in megabytes; 0 when it has ended. */
  readonly residentMb: () => number;
  /** True until it ends. */
  readonly isAlive: () => boolean;
};

/** Starts `countersign proxy` with these ports, and waits until it has acknowledged them. It has the machine's clock, so the control plane needs it too. */
export async function startProxyProcess(
  control: TestControlPlane,
  name: string,
  inbound: readonly Inbound[],
  args: readonly string[] = [],
): Promise<ProxyProcess> {
  const { state, proxyId, spiffeId } = await control.joined(name);
  for (const { endpointId } of inbound) control.scope.serves.add(endpointId);
  control.setSettings(proxyId, spiffeId, 1n, { trustDomain: TRUST_DOMAIN, inbound: [...inbound], telemetryIntervalMs: 1_000 });
  const main = join(import.meta.dirname, '../../src/cli/main.ts');
  const options = ['proxy', '--state', state.path, '--control', `127.0.0.1:${control.port}`, ...args];
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = `${said}${text}`.slice(-10_000)));
  const ended = once(child, 'exit');
  const early = ended.then(() => Promise.reject(new Error(`the proxy ended before it served: ${said}`)));
  await Promise.race([control.acknowledgement(SETTINGS_TYPE, (found) => found.name === proxyId && found.version === '1'), early]);
  early.catch(() => {});
  return {
    pid: child.pid!,
    residentMb: () => residentMb(child.pid!),
    isAlive: () => child.exitCode === null && child.signalCode === null,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
    },
  };
}

function residentMb(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) / 1_024;
  } catch {
    return 0;
  }
}
