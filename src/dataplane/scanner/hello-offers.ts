import { randomBytes } from 'node:crypto';
import { olderSuites, tls13Suites } from '../../core/tls/cipher-suite-registry.ts';
import { encodeClientHello, type HelloOffer } from '../../core/tls/encode-client-hello.ts';
import { namedGroups } from '../../core/tls/named-group.ts';
import type { ProtocolVersion } from '../../core/tls/protocol-version.ts';
import { signatureSchemes, tls13Schemes } from '../../core/tls/signature-scheme.ts';
import { type HelloAnswer, askHello } from './ask-hello.ts';
import type { ScanLine } from './scan-line.ts';

/** Asks with everything offered but what is changed. */
export type AskOffer = (version: ProtocolVersion, change?: Partial<HelloOffer>, until?: 'hello' | 'flight') => Promise<HelloAnswer>;

export function openQuestions(line: ScanLine, serverName: string | null): AskOffer {
  return (version, change = {}, until = 'hello') => {
    const modern = version === '1.3';
    const offer: HelloOffer = {
      version,
      suites: modern ? tls13Suites : olderSuites,
      groups: [...namedGroups.keys()],
      signatureSchemes: modern ? tls13Schemes : [...signatureSchemes.keys()],
      certificateSchemes: [...signatureSchemes.keys()],
      serverName,
      keyShares: [],
      random: randomBytes(32),
      compression: [0],
      ...change,
    };
    return askHello(line, encodeClientHello(offer), until);
  };
}
