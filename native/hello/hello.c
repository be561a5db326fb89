// The program of the built-in image.
#include <unistd.h>

int main(void) {
  static const char text[] = "Hello from a Gantry container\n";
  return write(1, text, sizeof text - 1) == sizeof text - 1 ? 0 : 1;
}
