/** Go's `os.FileMode`, in which fsutil's protocol tells what a file is. */
export const GO_DIR = 2 ** 31
export const GO_SYMLINK = 1 << 27
export const GO_DEVICE = 1 << 26
export const GO_PIPE = 1 << 25
export const GO_SOCKET = 1 << 24
export const GO_SETUID = 1 << 23
export const GO_SETGID = 1 << 22
export const GO_CHAR = 1 << 21
export const GO_STICKY = 1 << 20
