/* A program that loads a host at run time and hides its symbols, as coupling frameworks do. */
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == NULL) return printf("%s\n", dlerror()), 2;
  int (*host_main)(int, char **) = (int (*)(int, char **))dlsym(plugin, "host_main");
  return host_main(argc - 1, argv + 1);
}
