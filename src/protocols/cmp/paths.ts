import { profileNamePattern } from '../../core/issuance/profile-spec.ts';

/** True for the paths that RFC 9811 section 3.4 and RFC 9483 section 6.1 give to CMP, for `/pkix`, which older clients know, and for none, as OpenSSL sends. */
export function isCmpPath(url: string): boolean {
  const path = url.split('?')[0]!.replace(/\/$/, '');
  return path === '' || path === '/pkix' || PATTERN.test(path);
}

/** The profile that a path `/.well-known/cmp/p/NAME` names; null: none. */
export function profileOfPath(url: string): string | null {
  const name = PATTERN.exec(url.split('?')[0]!.replace(/\/$/, ''))?.[1];
  return name !== undefined && profileNamePattern.test(name) ? name : null;
}

/** The name of an operation says again what the body is, and decides nothing. */
const PATTERN =
  /^\/\.well-known\/cmp(?:\/p\/([a-z0-9][a-z0-9-]{0,62}))?(?:\/(?:initialization|certification|keyupdate|pkcs10|revocation|getcacerts|getrootupdate|getcertreqtemplate|getcrls))?$/;
