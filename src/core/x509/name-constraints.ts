import { contextConstructed, contextPrimitive, type DerReader, malformed, tags } from './der.ts';
import { constructed, type DerNode, primitive, raw, sequence } from './der-writer.ts';
import { DIRECTORY_NAME, DNS_NAME, IP_ADDRESS, readDirectoryName, readIa5, RFC822_NAME, URI } from './general-name.ts';
import type { Name } from './name.ts';

/** One base of a GeneralSubtree. Addresses are 4 or 16 octets of address and as many of mask. */
export type NameBase =
  | { readonly kind: 'dns'; readonly name: string }
  | { readonly kind: 'email'; readonly mailbox: string }
  | { readonly kind: 'uri'; readonly host: string }
  | { readonly kind: 'ip'; readonly address: Uint8Array; readonly mask: Uint8Array }
  | { readonly kind: 'directory'; readonly name: Name }
  | { readonly kind: 'other'; readonly number: number };

/** RFC 5280 section 4.2.1.10; an empty list is an absent field. */
export type NameConstraints = { readonly permitted: readonly NameBase[]; readonly excluded: readonly NameBase[] };

/** @throws der-malformed, also when minimum or maximum are used, which the profile of RFC 5280 forbids */
export function readNameConstraints(reader: DerReader): NameConstraints {
  const body = reader.enter(tags.sequence);
  const permitted = body.enterOptional(contextConstructed(0));
  const excluded = body.enterOptional(contextConstructed(1));
  body.finish();
  if (!permitted && !excluded) body.complain('name constraints without a constraint');
  return { permitted: permitted ? readSubtrees(permitted) : [], excluded: excluded ? readSubtrees(excluded) : [] };
}

function readSubtrees(list: DerReader): NameBase[] {
  const bases: NameBase[] = [];
  if (list.done) list.complain('name constraints without a subtree');
  while (!list.done) {
    const subtree = list.enter(tags.sequence);
    bases.push(readBase(subtree));
    for (const [number, what] of ['minimum', 'maximum'].entries()) {
      if (subtree.contentOptional(contextPrimitive(number))) subtree.complain(`a name constraint with a ${what}`);
    }
    subtree.finish();
  }
  return bases;
}

function readBase(subtree: DerReader): NameBase {
  const tag = subtree.nextTag;
  switch (tag) {
    case DNS_NAME:
      return { kind: 'dns', name: readIa5(subtree, tag) };
    case RFC822_NAME:
      return { kind: 'email', mailbox: readIa5(subtree, tag) };
    case URI:
      return { kind: 'uri', host: readIa5(subtree, tag) };
    case DIRECTORY_NAME:
      return { kind: 'directory', name: readDirectoryName(subtree) };
    case IP_ADDRESS:
      return readAddressBase(subtree, subtree.content(tag));
    default:
      subtree.element();
      return { kind: 'other', number: tag & 0x1f };
  }
}

/** Address and mask of one width; the mask is a prefix (RFC 4632), anything else is somebody's mistake. */
function readAddressBase(subtree: DerReader, octets: Uint8Array): NameBase {
  if (octets.length !== 8 && octets.length !== 32) throw malformed('an address constraint that is not 8 or 32 octets');
  const half = octets.length / 2;
  const mask = octets.subarray(half);
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  if (!/^1*0*$/.test(bits)) subtree.complain('an address constraint whose mask is no prefix');
  return { kind: 'ip', address: octets.subarray(0, half), mask };
}

export function nameConstraintsNode({ permitted, excluded }: NameConstraints): DerNode {
  return sequence(...subtreesNode(0, permitted), ...subtreesNode(1, excluded));
}

/** The implicitly tagged list, or nothing when there is no base: an empty list is malformed. */
function subtreesNode(number: number, bases: readonly NameBase[]): readonly DerNode[] {
  if (bases.length === 0) return [];
  const subtrees = bases.map((base) => sequence(baseNode(base)));
  return [constructed(contextConstructed(number), subtrees)];
}

function baseNode(base: NameBase): DerNode {
  switch (base.kind) {
    case 'dns':
      return primitive(DNS_NAME, base.name);
    case 'email':
      return primitive(RFC822_NAME, base.mailbox);
    case 'uri':
      return primitive(URI, base.host);
    case 'ip':
      return primitive(IP_ADDRESS, Uint8Array.from([...base.address, ...base.mask]));
    case 'directory':
      return constructed(DIRECTORY_NAME, [raw(base.name.der)]);
    case 'other':
      throw new RangeError(`Cannot write name constraint: kind ${base.number}, expected one that this house builds`);
    default:
      return base satisfies never;
  }
}
