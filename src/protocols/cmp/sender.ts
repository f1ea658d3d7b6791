import type { Actor } from '../../control/audit/entry.ts';
import type { CertificateRecord } from '../../control/ca/certificate-store.ts';
import type { DoorGrant } from '../../control/grants/door-grant.ts';
import type { MacAlgorithm } from '../../core/cmp/mac-algorithm.ts';
import type { Secret } from '../../core/secrets/secret.ts';

/** Who protected a message, as was proved. `name`: how the log calls them, and whose transactions theirs are. */
export type Sender =
  | { readonly kind: 'secret'; readonly name: string; readonly grant: DoorGrant; readonly key: Secret; readonly algorithm: MacAlgorithm }
  | { readonly kind: 'certificate'; readonly name: string; readonly record: CertificateRecord };

export function actorOfSender({ name }: Sender): Actor {
  return { kind: 'machine', name };
}
