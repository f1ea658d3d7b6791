import { type Authorities, pinnedRoot } from '../../control/ca/authorities.ts';
import { certificatesAnswer, type EstAnswer } from './answer.ts';
import type { EstTarget } from './label.ts';

/**
 * All that a client of this label has to trust or may need between (RFC 7030 section 4.1.3): the root above who signs now first, the other roots, and the issuing
 * authorities of its environment. A new root stands beside the old one, with no certificate of one by the other.
 */
export function caCerts(authorities: Authorities, { environment }: EstTarget): EstAnswer {
  const current = pinnedRoot(authorities);
  const issuing = authorities.issuing.filter((authority) => authority.environment === '*' || authority.environment === environment);
  const roots = [current, ...authorities.roots.filter((root) => root !== current)];
  return certificatesAnswer(
    [...roots.map(({ der }) => der), ...issuing.map(({ certificate }) => certificate.der)],
    'application/pkcs7-mime',
  );
}
