/*
 * The same in C++, with what was installed for it: consumer URL.
 */
#include <chttpcore.hpp>

#include <iostream>
#include <string>

int main(int argc, char **argv)
{
    if (argc != 2) return 1;
    try {
        chttpcore::engine engine;
        bool thrown = false;
        try {
            engine.perform(chttpcore::request("no url"));
        } catch (const std::runtime_error &error) {
            thrown = std::string(error.what()).find("CHTTP_E_INVALID_URL: ") == 0;
        }
        if (!thrown) return 1;
        std::cout << "status " << engine.perform(chttpcore::request(argv[1])).status() << '\n';
    } catch (const chttpcore::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
