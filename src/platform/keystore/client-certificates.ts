import { createPrivateKey, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DnsName, parseDnsName } from '../../core/identity/dns-name.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { decodePem, encodePem } from '../../core/x509/pem.ts';

/** A certificate of a third party's CA, with its key, that is shown to that third party and nobody else. Neither is known to the control plane. */
export type ClientCertificate = {
  /** The only server that it is for. */
  readonly serverName: DnsName;
  readonly chainPem: string;
  readonly keyPem: string;
  readonly notAfter: Instant;
  /** SHA-256 of the leaf: another certificate is another way to speak. */
  readonly digest: string;
};

/** What a folder holds, and which of its files cannot be used, with the reasons. */
export type FolderReading = { readonly held: readonly ClientCertificate[]; readonly faults: readonly Problem[] };

/**
 * Reads `NAME.pem` for the server of each name: a private key (PKCS#8, SEC 1 or PKCS#1, not encrypted) and its certificates, leaf first.
 * @throws state-permissions if the folder is not ours alone
 */
export async function readClientCertificates(folder: string): Promise<FolderReading> {
  const facts = await lstat(folder).catch(() => null);
  if (facts === null || !facts.isDirectory() || (facts.mode & 0o077) !== 0 || facts.uid !== process.getuid?.()) {
    throw new Problem('state-permissions', `Cannot use ${folder}: ${describe(facts)}, expected a folder of our own with mode 700`);
  }
  const names = (await readdir(folder)).filter((name) => name.endsWith(SUFFIX)).toSorted();
  if (names.length > MAXIMUM_FILES) {
    throw new Problem('input-invalid', `Cannot use ${folder}: ${names.length} certificates, expected at most ${MAXIMUM_FILES}`);
  }
  const held: ClientCertificate[] = [];
  const faults: Problem[] = [];
  for (const name of names) {
    try {
      held.push(readOne(parseDnsName(name.slice(0, -SUFFIX.length)), await readOwn(join(folder, name))));
    } catch (cause) {
      // Never the cause itself: it may quote what it read.
      faults.push(new Problem('input-invalid', `Cannot use ${join(folder, name)}: ${reasonOf(cause)}`));
    }
  }
  return { held, faults };
}

async function readOwn(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const facts = await file.stat();
    if (!facts.isFile() || (facts.mode & 0o077) !== 0 || facts.uid !== process.getuid?.()) {
      throw new Problem('state-permissions', `${describe(facts)}, expected a file of our own with mode 600`);
    }
    if (facts.size > MAXIMUM_OCTETS) throw new Problem('input-invalid', `${facts.size} octets, expected at most ${MAXIMUM_OCTETS}`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function readOne(serverName: DnsName, text: string): ClientCertificate {
  const chain = decodePem(text, 'CERTIFICATE');
  const [leaf] = chain;
  if (leaf === undefined) throw new Problem('input-invalid', 'no certificate, expected the leaf first');
  const key = createPrivateKey(text);
  const certificate = new X509Certificate(leaf);
  if (!certificate.checkPrivateKey(key))
    throw new Problem('input-invalid', 'the key is of another certificate, expected that of the first');
  return {
    serverName,
    chainPem: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    // Not by our own reader: what the CA of a third party makes need not be by the book for that party to take it.
    notAfter: certificate.validToDate.getTime(),
    digest: certificate.fingerprint256,
  };
}

/** Our own words, and the codes of others. */
function reasonOf(error: unknown): string {
  if (error instanceof Problem) return error.message;
  return error instanceof Error && 'code' in error
    ? String(error.code)
    : 'it cannot be parsed, expected a private key and certificates as PEM';
}

function describe(facts: { readonly mode: number } | null): string {
  return facts === null ? 'it is not there' : `mode ${(facts.mode & 0o777).toString(8)}`;
}

const SUFFIX = '.pem';
/** One for each third party that wants its own. */
const MAXIMUM_FILES = 100;
/** A key and a chain of ten. */
const MAXIMUM_OCTETS = 65_536;
