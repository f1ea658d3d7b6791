import { discoverAddresses, type DiscoveryOptions, parseAddressRange } from '../dataplane/scanner/discover-addresses.ts';
import type { AddressFacts } from '../dataplane/scanner/probe-address.ts';
import { parseAddressPolicy } from '../platform/network/address-policy.ts';
import { type Client, openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';
import { formatTable } from './output.ts';

/** `countersign discover`: probes from here, and records at the control plane what answered. */
export const run: Run = async (invocation) => {
  const { args, options, output } = invocation;
  if (args.length === 0) throw new UsageError('addresses are missing, such as 127.0.0.1:8000-8100');
  const perSecond = Number(textOption(invocation, 'perSecond') ?? 200);
  if (!(perSecond > 0 && perSecond <= 10_000)) throw new UsageError('--per-second is not a number from 1 to 10000');
  const client = options['dryRun'] === true ? null : openClient(invocation);
  const probing: DiscoveryOptions = {
    policy: parseAddressPolicy((textOption(invocation, 'allow') ?? '127.0.0.0/8').split(',')),
    perSecond,
    timeoutMs: TIMEOUT_MS,
    onProgress: (done, total) => output.progress(`probed ${done} of ${total}`),
  };
  const found = await discoverAddresses(args.flatMap(parseAddressRange), probing);
  if (client !== null) await record(client, found);
  output.answer({ found }, () => [
    ...formatTable([['address', 'plaintext', 'TLS', 'group', 'client certificate', 'names', 'not after'], ...found.map(describe)]),
    `${found.length} addresses answer`,
  ]);
  return 'ok';
};

async function record(client: Client, found: readonly AddressFacts[]): Promise<void> {
  for (let at = 0; at < found.length; at += OBSERVATIONS_PER_REQUEST) {
    await client.post('/v1/discovered', { observations: found.slice(at, at + OBSERVATIONS_PER_REQUEST) });
  }
}

function describe({ address, plaintextHttp, tls }: AddressFacts): string[] {
  if (tls === null) return [address, plaintextHttp ?? 'no HTTP', '-', '-', '-', '-', '-'];
  return [address, plaintextHttp ?? '-', tls.versions.join(' '), tls.group ?? '-', tls.clientCertificate, tls.names, tls.notAfter];
}

const TIMEOUT_MS = 2_000;
const OBSERVATIONS_PER_REQUEST = 200;
