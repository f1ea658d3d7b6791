import { type ClientCertificate, readClientCertificates } from '../../platform/keystore/client-certificates.ts';
import type { Log } from '../../platform/log/logger.ts';

/**
 * Puts the certificates of a folder in force now, and again whenever they change. A file that cannot be used any more leaves what it held in force.
 * @throws state-permissions, input-invalid if one cannot be used now
 */
export async function watchClientCertificates(
  folder: string,
  apply: (held: readonly ClientCertificate[]) => Promise<void>,
  log: Log,
): Promise<Disposable> {
  let inForce = new Map<string, ClientCertificate>();
  let told = '';
  const load = async (isFirst: boolean): Promise<void> => {
    const { held, faults } = await readClientCertificates(folder);
    if (isFirst && faults.length > 0) throw faults[0]!;
    const reasons = faults.map(({ message }) => message).join('; ');
    if (reasons !== told && reasons !== '') log('warn', 'client certificate not changed', { reasons });
    told = reasons;
    const next = new Map(held.map((one) => [one.serverName as string, one]));
    // While a file is broken nobody knows whose place it shall take.
    if (faults.length > 0) for (const [name, one] of inForce) if (!next.has(name)) next.set(name, one);
    if (next.size === inForce.size && [...next].every(([name, { digest }]) => inForce.get(name)?.digest === digest)) return;
    inForce = next;
    await apply([...next.values()]);
    log('info', 'client certificates in force', {
      certificates: [...next.values()].map(({ serverName, notAfter }) => ({ serverName, notAfter })),
    });
  };
  await load(true);
  const reload = (): void =>
    void load(false).catch((error: Error) => log('warn', 'client certificates not changed', { folder, error: error.message }));
  const timer = setInterval(reload, REREAD_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const REREAD_MS = 1_000;
